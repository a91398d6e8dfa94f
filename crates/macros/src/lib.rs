//! The attack_test attribute.
