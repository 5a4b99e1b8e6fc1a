//! Whole-system tests: the layout's rules, and the platform as its users see it.

mod tidy;
