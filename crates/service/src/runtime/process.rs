//! Agents as processes of this machine.
