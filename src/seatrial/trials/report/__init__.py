"""Reports: the same proof as text, HTML, JSON, CSV, JUnit and Markdown. They show numbers and make none."""
