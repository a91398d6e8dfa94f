//! Byzantine replicas: honest replicas whose actions pass through an adversary.
