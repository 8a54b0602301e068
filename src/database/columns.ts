type Value = string | number | bigint | boolean | null;

/** One column of a multi-row write: its name, its SQL type, and its value for a row. */
export interface Column<Row> {
  readonly name: string;
  readonly type: string;
  readonly of: (row: Row) => Value;
}

/**
 * `unnest` of one array parameter per column, as `name(column, ...)`. A parameter is the array's
 * text: one string a column is what the driver carries cheapest.
 */
export function unnestOf<Row>(
  columns: readonly Column<Row>[],
  alias: string,
  firstParameter: number,
): string {
  const arrays = columns.map(
    ({ type }, index) => `$${firstParameter + index}::text::${elementOf(type)}[]`,
  );
  const names = columns.map(({ name }) => name);
  return `unnest(${arrays.join(', ')}) AS ${alias}(${names.join(', ')})`;
}

/** `alias.column`, cast where the array carries the column as text. */
export function selectionOf<Row>(columns: readonly Column<Row>[], alias: string): string {
  return columns.map(({ name, type }) => castOf(alias, name, type)).join(', ');
}

/** `alias.name` as the column's type: jsonb and array columns travel as text. */
export function castOf(alias: string, name: string, type: string): string {
  return elementOf(type) === type ? `${alias}.${name}` : `${alias}.${name}::${type}`;
}

export function parametersOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  return columns.map(({ of }) => {
    let elements = '';
    for (const row of rows) elements += `${elements === '' ? '' : ','}${elementText(of(row))}`;
    return `{${elements}}`;
  });
}

/** jsonb and array columns travel as text: an array of arrays would be flattened. */
function elementOf(type: string): string {
  return type === 'jsonb' || type.endsWith('[]') ? 'text' : type;
}

const NEEDS_NO_QUOTES = /^[0-9A-Za-z_:.+-]+$/;

/** The text of a PostgreSQL array. */
export function arrayText(values: readonly Value[]): string {
  return `{${values.map(elementText).join(',')}}`;
}

/** Never empty: an empty text is quoted. */
function elementText(value: Value): string {
  if (value === null) return 'NULL';
  if (typeof value !== 'string') return String(value);
  const isPlain =
    NEEDS_NO_QUOTES.test(value) && !(value.length === 4 && value.toUpperCase() === 'NULL');
  return isPlain ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`;
}

/** The names of the columns, as an INSERT lists them. */
export function namesOf<Row>(columns: readonly Column<Row>[]): string {
  return columns.map(({ name }) => name).join(', ');
}
