/** The shape of a command's declaration: one table gives parsing, help, completion and did-you-mean. */

/** What a value must look like; `parseValue` knows how each is read. */
export type ValueKind =
  | 'text'
  | 'file'
  | 'whole'
  | 'number'
  /** A whole number of 64 bits, negative ones too, as the API takes it: folded into those that we count with. */
  | 'seed'
  /** `250ms 30s 5m 1h`, as milliseconds. */
  | 'duration'
  /** `2GB 512MiB`, as bytes. */
  | 'size'
  /** `10MB/s`, as bytes a second. */
  | 'rate'
  /** `1,2,3` */
  | 'list'

export interface ValueSpec {
  /** How help shows it, e.g. `N` or `HOST:PORT`. */
  readonly label: string
  readonly kind: ValueKind
  readonly choices?: readonly string[]
  /** Inclusive bounds of numbers. */
  readonly min?: number
  readonly max?: number
}

export interface OptionSpec {
  /** Without the dashes. */
  readonly name: string
  readonly short?: string
  /** Absent: a switch. */
  readonly value?: ValueSpec
  readonly repeat?: boolean
  /** Words of the first argument that it goes with; with others it would be passed over. @default all */
  readonly only?: readonly string[]
  readonly help: string
}

export interface ArgumentSpec {
  readonly label: string
  readonly required?: boolean
  /** Takes all that is left. */
  readonly rest?: boolean
  readonly choices?: readonly string[]
  /** What completion offers. */
  readonly offers?: 'models' | 'peers' | 'files' | 'verbs'
  /** What else it offers: words that are known, where others are refused by who takes them. */
  readonly words?: readonly string[]
}

export type Group = 'everyday' | 'peers' | 'cluster' | 'models' | 'diagnose' | 'self'

export interface CommandSpec {
  readonly verb: string
  readonly group: Group
  readonly summary: string
  readonly arguments: readonly ArgumentSpec[]
  readonly options: readonly OptionSpec[]
  /** Shown in `weft help VERB`, one paragraph each. */
  readonly notes?: readonly string[]
  readonly examples?: readonly string[]
  /** Shown by bare `weft`. */
  readonly everyday?: boolean
  /** Called by completion scripts, not by people. */
  readonly hidden?: boolean
}

export type OptionValue = string | number | boolean | readonly (string | number)[]

/** A command line after parsing: every value has the type that its spec promises. */
export interface ParsedCommand {
  readonly spec: CommandSpec
  readonly positional: readonly string[]
  readonly values: ReadonlyMap<string, OptionValue>
}
