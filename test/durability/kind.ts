/** One kind of what a home keeps: how it is opened, what is written to it, and what it holds. */

export interface Step {
  readonly name: string
  /** Durable when it resolves. Done again, after it was refused, it brings about the same. */
  readonly run: () => unknown
}

export interface Opened {
  readonly steps: readonly Step[]
  /** What the process that has it open knows of it. */
  state(): unknown
  close(): unknown
}

export interface Kind {
  readonly name: string
  /** Puts into the home what is there before; not part of what is tried. */
  prepare?(home: string): unknown
  open(home: string): Opened | Promise<Opened>
  /** A refusal that a crash may lead to beside a state that was acknowledged: it fails closed until it is done again. */
  readonly afterCrash?: string
  /** Sealed, or looked at by another kind: no bits are turned. */
  readonly isOpaque?: boolean
  /** What a process that starts anew finds. @default that of `open` */
  read?(home: string): unknown
  /** Files in which a bit that turns cannot be told from what was written: paths below the home. */
  readonly unchecked?: (path: string) => boolean
  /**
   * What has no sum, since a person writes it or it is much: a bit that turned in it can be what was meant. It must not leave the
   * home as if nothing had ever been written.
   */
  readonly isText?: boolean
}

export interface Refusal {
  readonly code: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

export function refusalOf(error: unknown): Refusal {
  const { code, message, details } = error as Partial<Refusal>
  return { code: code ?? 'none', message: message ?? String(error), details: details ?? {} }
}

/** What is found in a home, as a text that can be compared: a state, or the code with which it is refused. */
export async function found(kind: Kind, home: string): Promise<string> {
  try {
    if (kind.read !== undefined) return shown(await kind.read(home))
    const opened = await kind.open(home)
    try {
      return shown(await opened.state())
    } finally {
      await opened.close()
    }
  } catch (error) {
    const { code, message } = refusalOf(error)
    return code.startsWith('WEFT-') ? `refused ${code}` : `refused without a code: ${code} ${message}`
  }
}

export function shown(state: unknown): string {
  return JSON.stringify(state) ?? 'undefined'
}
