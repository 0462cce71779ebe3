//! Behaviors, scenarios, graders and data interventions.
