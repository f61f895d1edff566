//go:build tools

// Package tools names what .ci/tools.sh builds out of this module: Kubernetes requires its own parts by versions that
// only replacements give, so `go install` cannot build it from outside.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
