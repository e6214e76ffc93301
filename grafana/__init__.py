"""Dashboards as code: cost.py builds dashboards/cost.json; provisioning/ makes a Grafana load it."""
