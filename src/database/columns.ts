/** One column of a multi-row write: its name, its SQL type, and its value for a row. */
export interface Column<Row> {
  readonly name: string;
  readonly type: string;
  readonly of: (row: Row) => string | number | bigint | boolean | null;
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
  return columns.map((column) => arrayText(rows.map(column.of)));
}

/** jsonb and array columns travel as text: an array of arrays would be flattened. */
function elementOf(type: string): string {
  return type === 'jsonb' || type.endsWith('[]') ? 'text' : type;
}

const NEEDS_NO_QUOTES = /^[0-9A-Za-z_:.+-]+$/;

/** The text of a PostgreSQL array. */
export function arrayText(values: readonly (string | number | bigint | boolean | null)[]): string {
  let text = '{';
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (index > 0) text += ',';
    if (value === null || value === undefined) text += 'NULL';
    else if (typeof value !== 'string') text += String(value);
    else if (NEEDS_NO_QUOTES.test(value) && value.toUpperCase() !== 'NULL') text += value;
    else text += `"${value.replace(/[\\"]/g, '\\$&')}"`;
  }
  return `${text}}`;
}

/** The names of the columns, as an INSERT lists them. */
export function namesOf<Row>(columns: readonly Column<Row>[]): string {
  return columns.map(({ name }) => name).join(', ');
}
