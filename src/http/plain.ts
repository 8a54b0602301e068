/**
 * The plain object that a class describes. Classes of answers exist for the OpenAPI document; what a
 * route returns was never made by their constructor, and its type says so.
 */
export type Plain<Shape> = Shape extends readonly (infer Item)[]
  ? readonly Plain<Item>[]
  : Shape extends object
    ? { readonly [Name in keyof Shape]: Plain<Shape[Name]> }
    : Shape;
