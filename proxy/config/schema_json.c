/* SPDX-License-Identifier: Apache-2.0 */
/* The shape as a JSON Schema, for editors. */
#include <errno.h>
#include <string.h>

#include "config/schema.h"
#include "config/schema_own.h"

#define ROUTE "#/definitions/route"

static void put_value(FILE *out, const char *key, const cyaml_schema_value_t *v);

enum whose { OF_ALL, OF_DEFAULTS, OF_DEFAULTS_HTTP };

/* A mapping's inside; of `defaults` nothing must be there, and some may not. */
static void put_fields(FILE *out, const cyaml_schema_field_t *fields, enum whose whose)
{
	bool any = false;

	fputs("\"type\":\"object\",\"additionalProperties\":false,\"properties\":{", out);
	for (const cyaml_schema_field_t *f = fields; f->key; f++) {
		if (whose != OF_ALL && schema_is_own(f->key, whose == OF_DEFAULTS_HTTP))
			continue;
		fprintf(out, "%s\"%s\":{", any ? "," : "", f->key);
		any = true;
		if (whose == OF_DEFAULTS && strcmp(f->key, "http") == 0)
			put_fields(out, f->value.mapping.fields, OF_DEFAULTS_HTTP);
		else
			put_value(out, f->key, &f->value);
		fputc('}', out);
	}
	if (fields == schema_config) {
		fputs(",\"defaults\":{", out);
		put_fields(out, schema_route, OF_DEFAULTS);
		fputc('}', out);
	}
	/* document_expand.c: more of the lists of the whole file, and of a listener */
	if (fields == schema_config || fields == schema_listener)
		fputs(",\"include\":{\"type\":[\"string\",\"array\"],"
		      "\"items\":{\"type\":\"string\"}}",
		      out);
	fputc('}', out);
	/* the rest may be in other files, or in `defaults` */
	if (fields == schema_route && whose == OF_ALL)
		fputs(",\"required\":[\"name\"]", out);
}

static void put_words(FILE *out, const cyaml_schema_value_t *v)
{
	for (uint32_t i = 0; i < v->enumeration.count; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "\"enum\":[",
			v->enumeration.strings[i].str);
	fputc(']', out);
}

static void put_number(FILE *out, const char *key, const cyaml_schema_value_t *v)
{
	bool is_size = schema_is_size(key);

	fprintf(out, "\"type\":%s", is_size ? "[\"integer\",\"string\"]" : "\"integer\"");
	if (v->type == CYAML_UINT)
		fputs(",\"minimum\":0", out);
	if (v->type == CYAML_UINT && v->data_size < 8)
		fprintf(out, ",\"maximum\":%llu", (1ull << 8 * v->data_size) - 1);
	if (is_size)
		fputs(",\"pattern\":\"^[0-9]+ *([kKmMgGbB]|[KMG]iB|[kMG]B)?$\"", out);
}

/* One value. */
static void put_scalar(FILE *out, const char *key, const cyaml_schema_value_t *v)
{
	switch (v->type) {
	case CYAML_BOOL: /* YAML 1.1's words, which editors of 1.2 take for texts */
		fputs("\"enum\":[true,false,\"yes\",\"no\",\"on\",\"off\"]", out);
		break;
	case CYAML_ENUM:
		put_words(out, v);
		break;
	case CYAML_UINT:
	case CYAML_INT:
		put_number(out, key, v);
		break;
	default: /* what YAML reads as a number is a text here, too */
		fprintf(out,
			"\"type\":[\"string\",\"number\"],\"minLength\":%u,"
			"\"maxLength\":%u",
			v->string.min, v->string.max);
	}
}

static void put_value(FILE *out, const char *key, const cyaml_schema_value_t *v)
{
	switch (v->type) {
	case CYAML_MAPPING:
		if (v->mapping.fields == schema_route)
			fputs("\"$ref\":\"" ROUTE "\"", out);
		else
			put_fields(out, v->mapping.fields, OF_ALL);
		break;
	case CYAML_SEQUENCE:
		fprintf(out,
			"\"type\":\"array\",\"minItems\":%u,\"maxItems\":%u,\"items\":{",
			v->sequence.min, v->sequence.max);
		put_value(out, "", v->sequence.entry);
		fputc('}', out);
		break;
	default: /* or it has a variable of the environment */
		fputs("\"anyOf\":[{", out);
		put_scalar(out, key, v);
		fputs("},{\"type\":\"string\",\"pattern\":\"\\\\{\\\\$\"}]", out);
	}
}

int schema_write_json(FILE *out)
{
	fputs("{\"$schema\":\"http://json-schema.org/draft-07/schema#\","
	      "\"title\":\"tollgate.yaml\",\"definitions\":{\"route\":{",
	      out);
	put_fields(out, schema_route, OF_ALL);
	fputs("}},", out);
	put_fields(out, schema_config, OF_ALL);
	fputs("}\n", out);
	return ferror(out) || fflush(out) ? -EIO : 0;
}
