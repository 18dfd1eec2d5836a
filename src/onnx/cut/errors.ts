/** What can go wrong when a graph is cut. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import { shown } from '../ir/index.ts'
import type { MemoryLimit } from './choose.ts'

export class OnnxCutsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-095',
    title: 'Impossible cuts',
    meaning: 'A graph cannot be cut where, or into as many partitions as, it was asked.',
    remedy: 'Cuts are block numbers that rise, from 1 to the last block; without them, give a number of partitions.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>>) {
    super(OnnxCutsError.info, `the graph cannot be cut like this: ${why}`, { why, details })
  }
}

export class OnnxSplitDiffersError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-096',
    title: 'The partitions do not give what the whole graph gives',
    meaning: 'The check ran the graph whole and as a chain of partitions, and they did not agree bit for bit.',
    remedy: 'Other cuts may do: try another number of partitions. A model that draws random numbers never agrees.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(path: string, why: string, cuts: readonly number[]) {
    super(OnnxSplitDiffersError.info, `${shown(path)} whole and split do not agree: ${why}`, {
      why,
      details: { path, cuts },
    })
  }
}

export class OnnxMemoryLimitError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-097',
    title: 'Partitions do not fit the memory',
    meaning: 'No choice of so many partitions keeps each of them under the memory limit.',
    remedy: 'Ask for more partitions, or raise the limit.',
    exit: EXIT.noResources,
    http: 400,
  }
  /**
   * @param limit bytes a partition, or of each its own
   * @param needed bytes of each partition where they are as near to it as they can be, or as cuts that were given make them
   */
  constructor(parts: number, limit: MemoryLimit, needed: readonly number[], isGiven = false) {
    const least = needed.map((bytes) => Math.ceil(bytes))
    const each = typeof limit === 'object'
    const bound = each ? 'what is free for it' : `${limit} bytes`
    const largest = Math.max(...least)
    const best = isGiven || parts === 1 ? '' : ' at best'
    super(
      OnnxMemoryLimitError.info,
      `${isGiven ? 'these cuts do not keep each partition under' : choiceOf(parts)} ${bound}`,
      {
        why: each
          ? `they need ${least.join(', ')} bytes${best}, where ${limit.slice(0, parts).join(', ')} are free`
          : `the largest has ${largest} bytes${best}`,
        details: { parts, limit, least: largest, needed: least },
      },
    )
  }
}

function choiceOf(parts: number): string {
  return parts === 1 ? 'the model in one piece is not under' : `no choice of ${parts} partitions keeps each under`
}

export const CUT_ERRORS: readonly ErrorInfo[] = [
  OnnxCutsError.info,
  OnnxSplitDiffersError.info,
  OnnxMemoryLimitError.info,
]
