"""The shelf of routes through the integral over people. Everything here is JAX, in double precision."""

import jax

jax.config.update("jax_enable_x64", True)
