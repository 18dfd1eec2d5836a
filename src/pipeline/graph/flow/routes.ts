/** Where each value goes: from the part that makes it straight to every part that reads it, and to the origin. */
import { GraphRequestError } from '../errors.ts'
import type { KeptPair } from '../host/protocol.ts'
import { shown } from '../../../onnx/index.ts'

/** A partition as the flow sees it; `SplitPlan` has them in this form. */
export interface FlowPart {
  readonly inputs: readonly { readonly name: string; readonly from: 'graph' | number }[]
  readonly outputs: readonly {
    readonly name: string
    readonly to: readonly number[]
    readonly ofGraph: boolean
  }[]
}

/** A part by its index, or who asked. */
export type Target = number | 'origin'

/** Values for one target: the output, and the name that it has there. */
export interface Send {
  readonly target: Target
  /** For the unit after the one that made them. */
  readonly later: boolean
  readonly values: readonly (readonly [output: string, name: string])[]
}

export interface StageRoutes {
  /** Names that the first unit needs. */
  readonly first: readonly string[]
  /** Names that each later unit needs; what the host keeps for itself is not among them. */
  readonly later: readonly string[]
  readonly sends: readonly Send[]
  /** Of the last unit: nothing for a unit after it, and the state goes to the origin. */
  readonly last: readonly Send[]
  readonly kept: readonly KeptPair[]
}

/** @throws GraphRequestError when a pair names what is not there */
export function stageRoutes(parts: readonly FlowPart[], carries: readonly KeptPair[]): readonly StageRoutes[] {
  checkCarries(parts, carries)
  const carried = new Map(carries)
  const readers = (input: string): readonly number[] =>
    parts.flatMap(({ inputs }, part) =>
      inputs.some((each) => each.from === 'graph' && each.name === input) ? part : [],
    )
  return parts.map(({ inputs, outputs }, part) => {
    const kept: KeptPair[] = []
    const plain = new Map<Target, string[]>()
    const later = new Map<number, [string, string][]>()
    const state: string[] = []
    for (const { name, to, ofGraph } of outputs) {
      for (const target of to) push(plain, target, name)
      if (!ofGraph) continue
      const input = carried.get(name)
      if (input === undefined) push<Target, string>(plain, 'origin', name)
      else state.push(name)
      for (const target of input === undefined ? [] : readers(input)) {
        if (target === part) kept.push([name, input!])
        else push(later, target, [name, input!])
      }
    }
    const own = [...plain].map(([target, names]) =>
      send(
        target,
        false,
        names.map((name) => [name, name] as const),
      ),
    )
    const names = inputs.map(({ name }) => name)
    const held = new Set(kept.map(([, input]) => input))
    return {
      first: names,
      later: names.filter((name) => !held.has(name)),
      sends: [...own, ...[...later].map(([target, values]) => send(target, true, values))],
      last: state.length === 0 ? own : withState(own, state),
      kept,
    }
  })
}

function send(target: Target, later: boolean, values: Send['values']): Send {
  return { target, later, values }
}

function withState(sends: readonly Send[], state: readonly string[]): readonly Send[] {
  const values = state.map((name) => [name, name] as const)
  const origin = sends.find(({ target }) => target === 'origin')
  if (origin === undefined) return [...sends, send('origin', false, values)]
  return sends.map((each) => (each === origin ? send('origin', false, [...origin.values, ...values]) : each))
}

function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

function checkCarries(parts: readonly FlowPart[], carries: readonly KeptPair[]): void {
  const made = new Set(parts.flatMap(({ outputs }) => outputs.flatMap(({ name, ofGraph }) => (ofGraph ? name : []))))
  const read = new Set(
    parts.flatMap(({ inputs }) => inputs.flatMap(({ name, from }) => (from === 'graph' ? name : []))),
  )
  const used = new Set<string>()
  for (const [output, input] of carries) {
    if (!made.has(output)) throw new GraphRequestError(`the model has no output ${shown(output)} to carry`, { output })
    if (!read.has(input)) throw new GraphRequestError(`the model has no input ${shown(input)} to carry to`, { input })
    if (used.has(`o${output}`) || used.has(`i${input}`)) {
      throw new GraphRequestError(`${shown(output)} or ${shown(input)} is carried twice`, { output, input })
    }
    used.add(`o${output}`).add(`i${input}`)
  }
}

/** What the origin gives to each part for a unit; carried inputs only for the first. */
export function originFeeds(
  parts: readonly FlowPart[],
  carries: readonly KeptPair[],
  unit: number,
): readonly (readonly string[])[] {
  const carried = new Set(unit === 0 ? [] : carries.map(([, input]) => input))
  return parts.map(({ inputs }) =>
    inputs.flatMap(({ name, from }) => (from === 'graph' && !carried.has(name) ? name : [])),
  )
}

/** Outputs that a unit gives to the origin. */
export function originWants(
  parts: readonly FlowPart[],
  carries: readonly KeptPair[],
  isLast: boolean,
): readonly string[] {
  const carried = new Set(isLast ? [] : carries.map(([output]) => output))
  return parts.flatMap(({ outputs }) =>
    outputs.flatMap(({ name, ofGraph }) => (ofGraph && !carried.has(name) ? name : [])),
  )
}
