// SPDX-License-Identifier: MIT

package main

import (
	"crypto/sha256"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

var (
	entityTag = regexp.MustCompile(`(?:W/)?"[^"]*"`)
	visible   = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)
)

// caller is the user of a request, and its headers that matter to a command.
type caller struct {
	user      uuid
	requestID string
	key       *string
	ifMatch   string
}

func callerOf(r *http.Request, user uuid, requestID string) (*caller, error) {
	found := caller{user: user, requestID: requestID, ifMatch: r.Header.Get("If-Match")}
	if given := r.Header.Get("Idempotency-Key"); given != "" {
		key := strings.Trim(given, `"`)
		if !visible.MatchString(key) {
			return nil, invalid("The idempotency key is not valid.")
		}
		found.key = &key
	}
	return &found, nil
}

// fingerprint is nil without a key.
func (c *caller) fingerprint(name string, id string, asked interface{}) []byte {
	if c.key == nil {
		return nil
	}
	sum := sha256.Sum256(mustMarshal([]interface{}{name, id, asked}))
	return sum[:]
}

func etag(version int32) string { return `"` + strconv.Itoa(int(version)) + `"` }

// requireMatch compares strongly: a weak tag never matches.
func requireMatch(ifMatch string, version int32) error {
	if ifMatch == "" || strings.TrimSpace(ifMatch) == "*" || hasTag(ifMatch, version, false) {
		return nil
	}
	return refuse("PRECONDITION_FAILED", "The session has changed since.")
}

func isKnown(ifNoneMatch string, version int32) bool {
	return strings.TrimSpace(ifNoneMatch) == "*" || hasTag(ifNoneMatch, version, true)
}

func hasTag(header string, version int32, weakly bool) bool {
	for _, tag := range entityTag.FindAllString(header, -1) {
		if weakly {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if tag == etag(version) {
			return true
		}
	}
	return false
}
