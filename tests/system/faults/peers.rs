//! Services and clients on the other side that misbehave, refuse or reach a limit.
