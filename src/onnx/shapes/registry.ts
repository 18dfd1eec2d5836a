/** Which rule belongs to which operator: tables of families, each in its own file. */
import type { Rule } from './call.ts'

export const MICROSOFT = 'com.microsoft'
export const CLASSICAL = 'ai.onnx.ml'

export interface Family {
  /** ONNX's own where it is left out. */
  readonly domain?: string
  /** Names of operators, with spaces between them. */
  readonly operators: string
  readonly rule: Rule
}

/** By domain and operator. */
export type Registry<T> = ReadonlyMap<string, ReadonlyMap<string, T>>

export function registryOf<T>(
  families: readonly { readonly domain?: string; readonly operators: string; readonly rule: T }[],
): Registry<T> {
  const registry = new Map<string, Map<string, T>>()
  for (const { domain = '', operators, rule } of families) {
    const table = registry.get(domain) ?? new Map<string, T>()
    registry.set(domain, table)
    for (const operator of operators.split(/\s+/)) if (operator !== '') table.set(operator, rule)
  }
  return registry
}
