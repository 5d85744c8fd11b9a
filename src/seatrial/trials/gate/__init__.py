"""The kit's side of the gate: begin trials, submit what they showed, ask what is still missing."""
