"""Who asks: replay, plan, report, calibrate. Arrives with the issues that need it."""
