"""Who acts: facts from outside the request path that ship with the package or arrive as files: prices, grid factors, vocabularies..


"""
