"""What a galaxy's light is a sum of, in families: histories, dust, gas, kinematics."""
