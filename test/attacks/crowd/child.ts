/** A child process that answers calls: how the attack speaks with the members and with the crowd. */
import { fork } from 'node:child_process'
import { once } from 'node:events'

interface Call {
  readonly call: number
  readonly name: string
  readonly value: unknown
}

interface Reply {
  readonly call: number
  readonly value?: unknown
  readonly error?: string
}

export interface Child {
  ask<Answer>(name: string, value?: unknown): Promise<Answer>
  end(): Promise<void>
}

/** A process of its own; it can collect its garbage when it is asked for its memory. */
export function startChild(program: string): Child {
  const child = fork(program, {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let calls = 0
  child.on('message', (message: Reply) => {
    const one = waiting.get(message.call)
    waiting.delete(message.call)
    if (message.error === undefined) one?.resolve(message.value)
    else one?.reject(new Error(message.error))
  })
  const gone = once(child, 'exit').then(([code, signal]: unknown[]) => {
    for (const one of waiting.values()) one.reject(new Error(`it ended with ${String(code ?? signal)}`))
    waiting.clear()
  })
  return {
    ask<Answer>(name: string, value?: unknown) {
      const call = ++calls
      const settled = Promise.withResolvers<unknown>()
      waiting.set(call, settled)
      child.send({ call, name, value } satisfies Call)
      return settled.promise as Promise<Answer>
    },
    async end() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}

export type Answers = Readonly<Record<string, (value: never) => unknown>>

/** The other side: answers until its parent has gone. */
export function answer(answers: Answers, ended: () => Promise<void>): void {
  process.on('message', ({ call, name, value }: Call) => {
    const reply = (message: Omit<Reply, 'call'>): void => {
      if (process.connected) process.send!({ call, ...message })
    }
    Promise.resolve()
      .then(() => answers[name]!(value as never))
      .then(
        (result) => reply({ value: result }),
        (error: unknown) => reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
      )
  })
  process.on('disconnect', () => {
    void ended().finally(() => process.exit(0))
  })
}
