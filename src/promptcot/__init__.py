"""PromptCoT 2.0: learn to write training problems by Expectation-Maximization (arXiv 2509.19894)."""

__version__ = "0.1.0"
