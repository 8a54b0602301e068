/** What a class documents, as plain data: answers are object literals, never its instances. */
export type JsonOf<Documented> = Documented extends string | number | boolean | null | undefined
  ? Documented
  : { readonly [Field in keyof Documented]: JsonOf<Documented[Field]> };
