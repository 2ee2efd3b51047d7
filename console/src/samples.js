// What the first tabs hold. GraphiQL names a tab after its operation.
export const samples = [
  {
    query: `# Who the token stands for.
query WhoAmI {
  viewer {
    user {
      name
      email
    }
    operator
    tokenExpiresAt
    memberships {
      role
      organization {
        name
        slug
      }
    }
  }
}
`,
  },
  {
    query: `# The credits of every pool.
query PoolsAndBalances {
  organizations(first: 10) {
    nodes {
      name
      pools(first: 20) {
        nodes {
          id
          name
          balance {
            posted
            held
            available
            debt
          }
          unallocated {
            available
          }
          allocations(first: 20) {
            nodes {
              department {
                name
              }
              balance {
                available
              }
            }
          }
        }
      }
    }
  }
}
`,
  },
  {
    query: `# A pool's balance, then every change.
# Its id goes into the variables below.
subscription WatchPool($poolId: ID!) {
  poolBalance(poolId: $poolId) {
    kind
    version
    pool {
      name
    }
    balance {
      posted
      held
      available
    }
    transfers {
      kind
      credits
      reason
    }
  }
}
`,
    variables: '{\n  "poolId": ""\n}\n',
  },
];
