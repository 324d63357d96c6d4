//! Idealised rounds: everybody acts once a round, nothing is lost or late, and hostile nodes know who is hostile. It is the model that
//! the figures of the literature come from.

pub mod ranked;
pub mod shuffles;
