/** A request that is under way, as this peer keeps it. */
import type { GenerateEvent, Lane } from '../pipeline/index.ts'
import type { RequestStatus } from './types.ts'

export interface Running {
  readonly model: string
  readonly started: number
  readonly abort: AbortController
  readonly lane: Lane
  state: RequestStatus['state']
  prompt: number
  tokens: number
  /** Who is told whether it failed, by no fault of who asked. */
  ended?: (isFailed: boolean) => void
}

/** A request by its id. */
export interface Own {
  readonly request: string
  readonly running: Running
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'failed'
}

export function track(running: Running, event: GenerateEvent): void {
  if (event.type === 'start') {
    running.state = 'prefill'
    running.prompt = event.prompt_ids.length
  } else if (event.type === 'token') {
    running.state = 'decode'
    running.tokens++
  }
}
