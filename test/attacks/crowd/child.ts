/** A child process that answers calls: how the attack speaks with the members and with the crowd. */
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'

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

const hasTaskset = process.platform === 'linux' && spawnSync('taskset', ['-p', String(process.pid)]).status === 0

/**
 * A process of its own; it can collect its garbage when it is asked for its memory.
 * @param core computes on this one alone, where the system can be told
 */
export function startChild(program: string, core: number): Child {
  const node = [process.execPath, '--expose-gc']
  const [execPath, ...execArgv] = hasTaskset ? ['taskset', '-c', String(core % cpus().length), ...node] : node
  const child = fork(program, {
    execPath: execPath!,
    execArgv,
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
