/** A time as PostgreSQL prints it in UTC → ISO 8601, to the microsecond. */
export function isoTime(text: string): string {
  return text.replace(' ', 'T').replace(/\+00(:00)?$/, 'Z');
}

export function isoTimeOrNull(text: string | null | undefined): string | null {
  return text == null ? null : isoTime(text);
}
