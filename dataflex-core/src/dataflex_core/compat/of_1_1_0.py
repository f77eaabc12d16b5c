"""What came with DataFlex 1.1.0: its components, the parameters in its own file of them, and its defaults."""

from __future__ import annotations

from typing import Any

from dataflex_core.spec import Kind

COMPONENTS = {
    Kind.SELECTOR: "less loss delta_loss nice icons cluster_less coincide zeroth tsds near random custom",
    Kind.MIXER: "static random doremi odm dynamic_moe",
    Kind.WEIGHTER: "loss adapt joint_update_aware custom",
}
"""The names of all of them, by kind."""

SHIPPED: dict[tuple[Kind, str], dict[str, Any]] = {
    (Kind.SELECTOR, "delta_loss"): {"window_size": 0.2},
    (Kind.SELECTOR, "less"): {"gradient_type": "adam"},
    (Kind.SELECTOR, "loss"): {"focus": "medium"},
    (Kind.SELECTOR, "near"): {"indices_path": "./src/dataflex/offline_selector/top_indices.npy"},
    (Kind.SELECTOR, "tsds"): {"probs_path": "./src/dataflex/offline_selector/tsds_probs.npy"},
    (Kind.SELECTOR, "cluster_less"): {"gradient_type": "adam", "samples_per_cluster": 4},
    (Kind.SELECTOR, "icons"): {"gradient_type": "adam"},
    (Kind.SELECTOR, "nice"): {"gradient_type": "adam", "reward_model_backend": "local_vllm"},
    (Kind.MIXER, "static"): {"proportions": [0.5, 0.5]},
    (Kind.MIXER, "odm"): {"alpha": 0.9},
    (Kind.MIXER, "doremi"): {"reweight_eta": 0.1, "reweight_eps": 0.01},
    (Kind.MIXER, "dynamic_moe"): {"eta": 10.0, "c": 0.05, "collect_steps": 5},
    (Kind.WEIGHTER, "loss"): {"strategy": "linupper", "delta": 1.0},
    (Kind.WEIGHTER, "adapt"): {"tau": 1.0, "refresh_interval": 50},
    (Kind.WEIGHTER, "joint_update_aware"): {
        "beta": 0.1,
        "tau": 0.05,
        "fixed_point_iters": 5,
        "damping": 1.0,
        "target_update_step": 50,
    },
}
"""1.1.0's own components file, for what is offered here. A run names it by where it lies in 1.x's checkout."""

DEFAULTS: dict[tuple[Kind, str], dict[str, Any]] = {
    (Kind.SELECTOR, "cluster_less"): {"samples_per_cluster": 3, "representative_strategy": "random"},
    (Kind.SELECTOR, "nice"): {"mc_samples": 4, "max_new_tokens": 512, "generation_temperature": 0.7},
    (Kind.WEIGHTER, "adapt"): {"refresh_interval": 50},
    (Kind.WEIGHTER, "joint_update_aware"): {
        "fixed_point_iters": 5,
        "damping": 1.0,
        "target_update_step": 50,
        "pooling": "last_token",
    },
}
"""What 1.x takes where a file says nothing, and what is taken here is something else."""
