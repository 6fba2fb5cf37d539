/** What a name looks like in an error: as SQL would quote it, or bare. */
const NAME = String.raw`(?:"[^"]{1,63}"|[\p{L}\p{N}_$.]{1,130})`;
const TYPE = String.raw`[\p{L}\p{N}_ .()[\]",]{1,130}`;
const OBJECT =
  'table|view|materialized view|foreign table|sequence|schema|function|type|database|large object|column|relation';

/**
 * The texts of PostgreSQL's parser and of its access checks that name parts of the schema and nothing else: a name that is
 * in the catalogue, or that was written as one in the statement itself. What might be a value is not among them: names
 * that a cast looks up (`'…'::regclass`), a column in quotes that may have been meant as a text, the text around a syntax
 * error, and whatever code raises by itself.
 */
const TEXTS: readonly RegExp[] = [
  // 42501
  `permission denied for (?:${OBJECT}) ${NAME}`,
  `must be owner of (?:${OBJECT}) ${NAME}`,
  `new row violates row-level security policy (?:${NAME} )?(?:\\(USING expression\\) )?for table ${NAME}`,
  // 42703
  `column ${NAME} of relation ${NAME} does not exist`,
  String.raw`column [\p{L}_][\p{L}\p{N}_$]*\.[\p{L}\p{N}_$]+ does not exist`,
  // 42P01
  `relation ${NAME} does not exist`,
  // 42804
  `column ${NAME} is of type ${TYPE} but (?:expression|default expression) is of type ${TYPE}`,
  // 428C9
  `cannot insert a non-DEFAULT value into column ${NAME}`,
  `column ${NAME} can only be updated to DEFAULT`,
  // 42P10
  'there is no unique or exclusion constraint matching the ON CONFLICT specification',
  // 42846, 42883
  `cannot cast type ${TYPE} to ${TYPE}`,
  `operator does not exist: ${TYPE} \\S{1,10} ${TYPE}`,
  // 42809
  `${NAME} is (?:a view|an index|a sequence|a composite type|not a table)`,
  // 0A000
  `cannot perform (?:INSERT|UPDATE|DELETE) RETURNING on relation ${NAME}`,
  'INSERT with ON CONFLICT clause cannot be used with table that has INSERT or UPDATE rules',
  '(?:conditional )?DO (?:ALSO|INSTEAD(?: NOTHING)?) rules are not supported for data-modifying statements in WITH',
  'multi-statement DO INSTEAD rules are not supported for data-modifying statements in WITH',
  'cannot retrieve a system column in this context',
  'cached plan must not change result type',
  `(?:INSERT|UPDATE|DELETE|COPY FROM) is not supported (?:with|on) (?:row-level security|${NAME})`,
  'COPY FROM not supported with row-level security',
].map((text) => new RegExp(`^${text}$`, 'u'));

/** A name that a value is looked up as, which the error then quotes. */
const LOOKED_UP = /^(?:RangeVarGetRelid|reg|to_reg|textToQualifiedNameList|stringToQualifiedNameList|parseTypeString)/;
/** A statement of PL/pgSQL and its like: they may raise any text under any code. */
const RAISED = /^(?:exec_stmt_raise|plpgsql_|PLy_|plperl_|plv8)/;

/**
 * What an error of the database says, where its code is of class 42 (names, types, privileges) or 0A (what is not
 * supported) and its text speaks of the schema alone; undefined otherwise. Texts in another language are not known.
 */
export function schemaText(state: string, error: Error): string | undefined {
  if (!/^(?:42|0A)/.test(state) || state === '42601') return undefined;
  const [routine, inner] = ['routine', 'internalQuery'].map((fact): unknown => Reflect.get(error, fact));
  // Without its routine nobody knows who speaks; a statement inside of a function may be put together of values.
  if (typeof routine !== 'string' || inner || LOOKED_UP.test(routine) || RAISED.test(routine)) return undefined;
  // MikroORM adds the hint of the error, which may quote what was meant.
  const [says = ''] = error.message.split('\n', 1);
  return TEXTS.some((text) => text.test(says)) ? says : undefined;
}
