"""How a base learns from a data set. `lora` is the one way there is."""
