"""The trainers: mixins over LLaMA-Factory's own trainer class, composed for the strategies that a run has."""
