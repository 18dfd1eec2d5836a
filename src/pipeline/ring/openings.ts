/** Sessions that are being opened: while blocks are loaded for one, its origin may ask again, give it up, or ask for many. */

export interface Opening {
  readonly origin: string
  readonly request: number
  /** First block. */
  readonly from: number
  readonly attempt: number
}

export class Openings {
  readonly #all = new Set<Opening>()

  /** Takes the place of an older attempt, which is given up. Whoever has it ends it. */
  begin(opening: Opening): Opening {
    const older = this.find(opening.origin, opening.request, opening.from)
    if (older !== undefined) this.#all.delete(older)
    this.#all.add(opening)
    return opening
  }

  end(opening: Opening): void {
    this.#all.delete(opening)
  }

  /** False once it was given up. */
  has(opening: Opening): boolean {
    return this.#all.has(opening)
  }

  find(origin: string, request: number, from: number): Opening | undefined {
    return this.#all.values().find((each) => each.origin === origin && each.request === request && each.from === from)
  }

  /** Whether another origin opens a hop of this number here. */
  isForeign(request: number, origin: string): boolean {
    return this.#all.values().some((each) => each.request === request && each.origin !== origin)
  }

  ofOrigin(origin: string): readonly Opening[] {
    return [...this.#all].filter((each) => each.origin === origin)
  }

  /** @param from undefined: all of the request */
  close(origin: string, request: number, from: number | undefined): void {
    for (const each of this.ofOrigin(origin))
      if (each.request === request && (from === undefined || each.from === from)) this.#all.delete(each)
  }
}
