/** Keeps label sets small and clean whatever comes in: an attacker chooses model names and paths. */
import type { LabelRule } from './metrics-table.ts'

export type Labels = Readonly<Record<string, string | number>>

/** Longest label value kept: model names and codes fit; a prompt does not. */
const MAX_LABEL_VALUE = 64
const OVERFLOW = 'other'

/** Returns a function that maps any labels to those that the rules allow. */
export function createLabelFilter(rules: Readonly<Record<string, LabelRule>>): (labels: Labels) => Labels {
  const seen = new Map<string, Set<string>>()
  return (labels) => {
    const kept: Record<string, string> = {}
    for (const [name, rule] of Object.entries(rules)) {
      const value = labels[name]
      if (value === undefined) continue
      kept[name] = admit(rule, cleanValue(String(value)), seenValues(seen, name))
    }
    return kept
  }
}

function admit(rule: LabelRule, value: string, seen: Set<string>): string {
  if (typeof rule !== 'number') return rule.includes(value) ? value : OVERFLOW
  if (seen.has(value)) return value
  if (seen.size >= rule) return OVERFLOW
  seen.add(value)
  return value
}

function seenValues(seen: Map<string, Set<string>>, name: string): Set<string> {
  const found = seen.get(name)
  if (found !== undefined) return found
  const fresh = new Set<string>()
  seen.set(name, fresh)
  return fresh
}

function cleanValue(value: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it removes
  return value.slice(0, MAX_LABEL_VALUE).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '_')
}
