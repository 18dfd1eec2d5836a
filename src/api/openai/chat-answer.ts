/** One choice of a chat as its text comes: content, and calls of tools where there are any. */
import { CallReader } from './tool-calls.ts'
import type { CallEvent } from './tool-calls.ts'

interface ToolCallBody {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; arguments: string }
}

export interface AssistantMessage {
  readonly content: string | null
  readonly tool_calls?: readonly ToolCallBody[]
}

export class ChatAnswer {
  readonly #reader: CallReader | null
  readonly #callId: string

  /** @param callId what ids of calls begin with; null: there are no tools, and all of it is content */
  constructor(callId: string | null) {
    this.#reader = callId === null ? null : new CallReader()
    this.#callId = callId ?? ''
  }

  /** Deltas of a stream. */
  push(text: string): object[] {
    if (this.#reader === null) return [{ content: text }]
    return this.#reader.push(text).map((event) => this.#delta(event))
  }

  end(): object[] {
    return (this.#reader?.end() ?? []).map((event) => this.#delta(event))
  }

  finish(finish: 'stop' | 'length'): 'stop' | 'length' | 'tool_calls' {
    return finish === 'stop' && (this.#reader?.calls ?? 0) > 0 ? 'tool_calls' : finish
  }

  /** Of an answer that does not stream. */
  message(text: string): AssistantMessage {
    if (this.#reader === null) return { content: text }
    let content = ''
    const calls: ToolCallBody[] = []
    for (const event of [...this.#reader.push(text), ...this.#reader.end()]) {
      if (event.type === 'content') content += event.text
      else if (event.type === 'call') calls.push(this.#call(event.index, event.name))
      else calls[event.index]!.function.arguments += event.text
    }
    if (calls.length === 0) return { content }
    return { content: content === '' ? null : content, tool_calls: calls }
  }

  #delta(event: CallEvent): object {
    if (event.type === 'content') return { content: event.text }
    const { index } = event
    if (event.type === 'call') return { tool_calls: [{ index, ...this.#call(index, event.name) }] }
    return { tool_calls: [{ index, function: { arguments: event.text } }] }
  }

  #call(index: number, name: string): ToolCallBody {
    return { id: `${this.#callId}_${index}`, type: 'function', function: { name, arguments: '' } }
  }
}
