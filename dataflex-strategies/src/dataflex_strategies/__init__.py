"""The strategies that come with DataFlex, as plugins like any third party's."""
