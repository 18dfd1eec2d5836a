/** What the planner is given, checked: profiles come from other peers, and one NaN would spoil every sum. */
import { stepOf } from './guessing.ts'
import { PlanInputError } from './errors.ts'
import type { BatchPoint, PlanInput } from './types.ts'

/** @throws PlanInputError */
export function checkPlanInput(input: PlanInput): void {
  if (input.blocks.length === 0) throw new PlanInputError('blocks', 'are none')
  amount('context', input.context)
  amount('concurrency', input.concurrency)
  amount('prompt', input.prompt ?? 0)
  amount('hopMs', input.hopMs ?? 0)
  amount('inputBytes', input.inputBytes ?? 0)
  for (const [index, block] of input.blocks.entries()) {
    amount(`blocks.${index}.memory`, block.memory)
    amount(`blocks.${index}.flops`, block.flops)
    amount(`blocks.${index}.kv_bytes`, block.kv_bytes)
    amount(`blocks.${index}.boundaryBytes`, block.boundaryBytes ?? 0)
    if (index > 0 && block.kind === 'embedding') throw new PlanInputError(`blocks.${index}`, 'is a second embedding')
    if (index < input.blocks.length - 1 && block.kind === 'head') {
      throw new PlanInputError(`blocks.${index}`, 'is a head before the end')
    }
  }
  const ids = new Set<string>()
  for (const peer of input.peers) {
    if (ids.has(peer.id)) throw new PlanInputError(`peer ${peer.id}`, 'is listed twice')
    ids.add(peer.id)
    amount(`speed of ${peer.id}`, peer.speed)
    amount(`threads of ${peer.id}`, peer.threads)
    amount(`memory of ${peer.id}`, peer.memory)
    amount(`reserved of ${peer.id}`, peer.reserved)
    amount(`blockMs of ${peer.id}`, peer.blockMs ?? 0)
    amount(`prefillMs of ${peer.id}`, peer.prefillMs ?? 0)
    amount(`headMs of ${peer.id}`, peer.headMs ?? 0)
    amount(`bandwidth of ${peer.id}`, peer.bandwidth ?? 0)
    checkCurve(`batchCurve of ${peer.id}`, peer.batchCurve ?? [])
  }
  if (!ids.has(input.origin)) throw new PlanInputError('origin', `${input.origin} is not among the peers`)
  for (const link of input.links ?? []) {
    amount(`rtt of ${link.from} to ${link.to}`, link.rtt)
    amount(`bandwidth of ${link.from} to ${link.to}`, link.bandwidth)
    amount(`jitter of ${link.from} to ${link.to}`, link.jitter ?? 0)
    amount(`loss of ${link.from} to ${link.to}`, link.loss ?? 0)
    if ((link.loss ?? 0) >= 1) throw new PlanInputError(`loss of ${link.from} to ${link.to}`, `is ${link.loss}`)
  }
  checkCurve('batchCurve', input.batchCurve ?? [])
  const { tokens, rows } = stepOf(input)
  amount('guessing.tokens', tokens)
  amount('guessing.rows', rows)
  if (tokens < 1 || rows < tokens) throw new PlanInputError('guessing', `has ${tokens} tokens of ${rows} rows`)
}

function checkCurve(name: string, curve: readonly BatchPoint[]): void {
  for (const [index, { rows, factor }] of curve.entries()) {
    amount(`${name}.${index}.rows`, rows)
    amount(`${name}.${index}.factor`, factor)
    const before = curve[index - 1]
    if (rows < 1 || factor <= 0) throw new PlanInputError(`${name}.${index}`, 'is no point of a curve')
    if (before !== undefined && (rows <= before.rows || factor < before.factor)) {
      throw new PlanInputError(`${name}.${index}`, 'does not rise')
    }
  }
}

function amount(field: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) throw new PlanInputError(field, `is ${value}`)
}
