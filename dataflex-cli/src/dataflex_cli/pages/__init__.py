"""What the pages that commands write share: their frame, their charts, and plotly.js."""
