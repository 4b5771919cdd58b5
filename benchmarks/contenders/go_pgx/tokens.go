// SPDX-License-Identifier: MIT

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt"
)

const (
	audience = "authenticated"
	leeway   = 30 * time.Second
)

// tokens checks access tokens with one key, which fixes the algorithm.
type tokens struct {
	parser *jwt.Parser
	key    interface{}
}

type claims struct {
	Audience  jwt.ClaimStrings `json:"aud"`
	ExpiresAt *jwt.NumericDate `json:"exp"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	Role      string           `json:"role"`
	Subject   string           `json:"sub"`
}

// Valid is called by the parser; the library's own check knows no leeway.
func (c *claims) Valid() error {
	now := time.Now()
	switch {
	case c.ExpiresAt == nil || now.After(c.ExpiresAt.Add(leeway)):
		return errors.New("expired")
	case isLater(c.IssuedAt, now) || isLater(c.NotBefore, now):
		return errors.New("not valid yet")
	case c.Role != audience:
		return errors.New("another role")
	}
	for _, each := range c.Audience {
		if each == audience {
			return nil
		}
	}
	return errors.New("another audience")
}

func isLater(date *jwt.NumericDate, now time.Time) bool {
	return date != nil && date.After(now.Add(leeway))
}

func newTokens(secret, keySetURL string) (*tokens, error) {
	if secret != "" {
		parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
		return &tokens{parser: parser, key: []byte(secret)}, nil
	}
	key, err := fetchKey(keySetURL)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}))
	return &tokens{parser: parser, key: key}, err
}

func fetchKey(url string) (*ecdsa.PublicKey, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, err
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("the key set is empty")
	}
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil {
		return nil, err
	}
	y, err := base64.RawURLEncoding.DecodeString(set.Keys[0].Y)
	key := ecdsa.PublicKey{
		Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y),
	}
	return &key, err
}

// userOf returns the user of an Authorization header.
func (t *tokens) userOf(header string) (uuid, *refusal) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return uuid{}, refuse("UNAUTHENTICATED", "An access token is needed.")
	}
	var found claims
	_, err := t.parser.ParseWithClaims(token, &found, func(*jwt.Token) (interface{}, error) {
		return t.key, nil
	})
	if err == nil {
		if user, ok := parseUUID(found.Subject); ok {
			return user, nil
		}
	}
	return uuid{}, refuse("UNAUTHENTICATED", "The access token is not valid.")
}
