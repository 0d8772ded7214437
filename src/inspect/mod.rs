//! Gathers the evidence that `check` judges.
