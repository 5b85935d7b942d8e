"""Cut a release of the template: `make release VERSION=x.y.z`."""
