"""The conformance kit: the strategies that come with DataFlex, and strategies broken on purpose."""
