"""The ground floor of the server: errors, time, ids, the observer's port."""
