//! The Knative backend against a real cluster: `tests/beds/knative/up.sh` prints the variables that are needed here.
mod access;
mod bed;
mod causes;
mod events;
mod faults;
mod history;
mod life;
mod newcomer;
mod relay;
mod tour;
