/** What a verb is handed: its parsed values, where to print, how to reach a peer. */
import type { CliIo, Signal } from './io.ts'
import type { CommandSpec, OptionValue, ParsedCommand } from './option-types.ts'
import type { Output } from './output.ts'
import type { PeerAccess } from './peer-access.ts'

export interface CommandContext {
  readonly io: CliIo
  readonly out: Output
  readonly flags: Flags
  /** Absolute path of the mesh home. */
  readonly home: string
  /** Aborted by Ctrl-C, SIGTERM, SIGHUP and a closed stdout, unless the verb has taken the signals over. */
  readonly signal: AbortSignal
  takeSignals(listener: (name: Signal) => void): void
  /** Things to stop when the command ends, however it ends; last in, first out. */
  defer(action: () => Promise<void> | void): void
}

/** A verb. Resolves to its exit status, nothing meaning 0. */
export type Command = (context: CommandContext) => Promise<number | void>

export interface Flags {
  argument(index: number): string | undefined
  /** One that the parser has made sure of. */
  required(index: number): string
  rest(from: number): readonly string[]
  flag(name: string): boolean
  text(name: string): string | undefined
  number(name: string): number | undefined
  texts(name: string): readonly string[]
  numbers(name: string): readonly number[] | undefined
  /** The options again as argv, without the named ones: for a process that goes on with this command. */
  tokens(except: readonly string[]): string[]
}

export function flagsOf(command: ParsedCommand): Flags {
  const { positional, values } = command
  return {
    argument: (index) => positional[index],
    required: (index) => positional[index] ?? '',
    rest: (from) => positional.slice(from),
    flag: (name) => values.get(name) === true,
    text: (name) => {
      const value = values.get(name)
      return typeof value === 'string' ? value : undefined
    },
    number: (name) => {
      const value = values.get(name)
      return typeof value === 'number' ? value : undefined
    },
    texts: (name) => {
      const value = values.get(name)
      return Array.isArray(value) ? value.map(String) : []
    },
    numbers: (name) => {
      const value = values.get(name)
      return Array.isArray(value) ? value.map(Number) : undefined
    },
    tokens: (except) => {
      const kept = [...values].filter(([name]) => !except.includes(name))
      return kept.flatMap(([name, value]) => tokensOf(command.spec, name, value))
    },
  }
}

function tokensOf(spec: CommandSpec, name: string, value: OptionValue): string[] {
  if (value === true) return [`--${name}`]
  // Times are held in milliseconds; a bare number would be read as seconds.
  const unit = spec.options.find((option) => option.name === name)?.value?.kind === 'duration' ? 'ms' : ''
  return (Array.isArray(value) ? value : [value]).map((part) => `--${name}=${String(part)}${unit}`)
}

/** The running peer, or one in this process as the verb allows; closed when the command ends. */
export async function openFor(context: CommandContext, local: 'never' | 'fallback'): Promise<PeerAccess> {
  const mode = context.flags.flag('local') ? 'always' : local
  const { openPeer } = await import('./peer-access.ts')
  const access = await openPeer(context.io, context.home, { local: mode, signal: context.signal })
  context.defer(() => access.close())
  return access
}
