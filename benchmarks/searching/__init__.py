"""Problems whose trainings are formulas or a table, and the samplers that are compared on them."""
