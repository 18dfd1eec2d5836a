/** Which fetch of this process brings which blob, so that two stages that share a tensor load it once. */

export interface Claims {
  begin(): ClaimsOfOne
}

export interface ClaimsOfOne {
  /** Ours from now on; or another's: the promise resolves when that fetch has it, or has ended without it. */
  claim(address: string): Promise<void> | undefined
  release(address: string): void
  end(): void
}

export function createClaims(): Claims {
  const all = new Map<string, { readonly owner: object; readonly released: PromiseWithResolvers<void> }>()
  return {
    begin() {
      const owner = {}
      const release = (address: string): void => {
        const claim = all.get(address)
        if (claim?.owner !== owner) return
        all.delete(address)
        claim.released.resolve()
      }
      return {
        claim(address) {
          const claim = all.get(address)
          if (claim === undefined) all.set(address, { owner, released: Promise.withResolvers<void>() })
          return claim === undefined || claim.owner === owner ? undefined : claim.released.promise
        },
        release,
        end() {
          for (const address of all.keys()) release(address)
        },
      }
    },
  }
}
