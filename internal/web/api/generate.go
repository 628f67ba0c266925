package api

//go:generate go run ../../../tools/openapi
