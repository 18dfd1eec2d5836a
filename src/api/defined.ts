/** Options of others are absent or set, never undefined. */

type Defined<Fields> = { [Name in keyof Fields]: Exclude<Fields[Name], undefined> }

/** The same fields without those that are undefined. */
export function defined<Fields extends object>(fields: Fields): Defined<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<Fields>
}
