// Package kubernetes keeps the requirements of Kubernetes' end-to-end suite in go.mod: `go mod tidy` counts what this file imports.
package kubernetes

import (
	_ "k8s.io/kubernetes/test/e2e"
)
