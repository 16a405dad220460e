"""Where a figure comes from: dataset names, the store of OpenLineage events and questions to it."""
